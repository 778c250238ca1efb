\set room random(1, :rooms)
SELECT touch_room(:room);
