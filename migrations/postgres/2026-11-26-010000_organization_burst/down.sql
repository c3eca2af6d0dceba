ALTER TABLE organizations DROP COLUMN burst;
