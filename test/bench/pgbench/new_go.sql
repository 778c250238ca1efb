\set n :n + 1
\set room :base + permute(:n * :clients + :client_id, :size, :base)
SELECT gateway_name FROM go_assignments WHERE room_id = :room;
SELECT g.name AS gateway FROM gateways g LEFT JOIN sessions s ON s.gateway_id = g.id AND s.removed_at IS NULL WHERE NOT g.disabled AND g.removed_at IS NULL GROUP BY g.name ORDER BY count(DISTINCT s.user_id), g.name LIMIT 1
\gset
INSERT INTO go_assignments (room_id, gateway_name, region, assigned_at, last_used_at) VALUES (:room, :gateway, NULL, now(), now());
