-- Why a step is of its recovery class, beside `recovery`; empty for what older versions began.
ALTER TABLE run_steps ADD COLUMN recovery_reason TEXT NOT NULL DEFAULT '';
