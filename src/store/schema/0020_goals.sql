-- What a run that undoes means to undo on all its databases, in order: what `resume` goes on with when the run ends between two
-- of them. JSON; empty where nothing is undone.
ALTER TABLE runs ADD COLUMN goal TEXT NOT NULL DEFAULT '';
