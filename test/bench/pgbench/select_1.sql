\set room random(1, :rooms)
SELECT 1;
