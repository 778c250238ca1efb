\set n :n + 1
\set room :base + permute(:n * :clients + :client_id, :size, :base)
INSERT INTO plain (room_id, gateway_name, region, assigned_at, last_used_at, reason) VALUES (:room, 'gxy5', NULL, clock_timestamp(), clock_timestamp(), 'least loaded') ON CONFLICT DO NOTHING;
