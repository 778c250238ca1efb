\set room random(1, :rooms)
SELECT room_server(:room);
