"""Makes the server at a port of this machine the only member of replica set rs0, and waits until it takes writes."""

import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure

ALREADY_INITIALIZED = 23

port = int(sys.argv[1])
admin = MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=30_000).admin
try:
    admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
except OperationFailure as error:
    if error.code != ALREADY_INITIALIZED:
        raise
end = time.monotonic() + 60
while not admin.command("hello").get("isWritablePrimary"):
    if time.monotonic() > end:
        sys.exit("the replica set has no primary after a minute")
    time.sleep(0.05)
