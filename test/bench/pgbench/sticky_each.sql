\set n :n + 1
\set room (:n - 1) * :clients + :client_id + 1
SELECT get_or_assign_server(:room);
