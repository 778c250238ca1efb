\set room random(1, :rooms)
UPDATE room_server_assignments SET last_used_at = clock_timestamp() WHERE room_id = :room;
