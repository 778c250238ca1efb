\set room random(1, :rooms)
SELECT bench_empty(:room);
