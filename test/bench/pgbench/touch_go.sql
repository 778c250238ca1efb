\set room random(1, :rooms)
UPDATE go_assignments SET last_used_at = now() WHERE room_id = :room;
