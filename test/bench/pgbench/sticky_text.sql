\set room random(1, :rooms)
SELECT get_or_assign_server(:room::text);
