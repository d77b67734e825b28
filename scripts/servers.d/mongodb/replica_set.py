"""Makes the server at a port of this machine the first member of replica set rs0, and waits until it takes writes. A second
port is that of a member without a vote, which is taken in and awaited too."""

import sys
import time

from pymongo import MongoClient
from pymongo.errors import OperationFailure

ALREADY_INITIALIZED = 23
SECONDARY = 2


def await_that(holds, otherwise):
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            sys.exit(otherwise)
        time.sleep(0.05)


first, *others = (int(port) for port in sys.argv[1:])
admin = MongoClient("127.0.0.1", first, directConnection=True, serverSelectionTimeoutMS=30_000).admin
try:
    admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": f"127.0.0.1:{first}"}]})
except OperationFailure as error:
    if error.code != ALREADY_INITIALIZED:
        raise
await_that(lambda: admin.command("hello").get("isWritablePrimary"), "the replica set has no primary after a minute")
for port in others:
    host = f"127.0.0.1:{port}"
    config = admin.command("replSetGetConfig")["config"]
    if host not in (member["host"] for member in config["members"]):
        config["members"].append({"_id": len(config["members"]), "host": host, "priority": 0, "votes": 0})
        config["version"] += 1
        admin.command("replSetReconfig", config)

    def follows():
        members = admin.command("replSetGetStatus")["members"]
        return any(member["name"] == host and member["state"] == SECONDARY for member in members)

    await_that(follows, f"{host} does not follow after a minute")
