\set n :n + 1
\set room :base + permute(:n * :clients + :client_id, :size, :base)
SELECT get_or_assign_server(:room);
