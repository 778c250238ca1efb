\set room random(1, :rooms)
SELECT gateway_name FROM go_assignments WHERE room_id = :room;
UPDATE go_assignments SET last_used_at = now() WHERE room_id = :room;
