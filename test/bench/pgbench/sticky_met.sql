\set n :n + 1
SELECT get_or_assign_server(:n);
