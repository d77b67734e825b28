-- What a target's history said when a run had ended there, as a hash: beside `history_hash`, which is from before it.
ALTER TABLE run_targets ADD COLUMN history_after TEXT;
