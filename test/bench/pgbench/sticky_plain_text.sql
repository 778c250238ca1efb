\set room random(1, :rooms)
SELECT gateway_name FROM room_server_assignments WHERE room_id = :room::text;
