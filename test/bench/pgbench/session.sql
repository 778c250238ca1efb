\set user random(1, :live)
\set room 1 + :user * 7919 % :rooms
\set gateway 1 + :room % :servers
\set gateway_session 5000000 + :user
INSERT INTO sessions (user_id, gateway_id, gateway_session, room_id, updated_at)
VALUES (:user, :gateway, :gateway_session, :room, now() + interval '1 day')
ON CONFLICT (user_id, gateway_id, gateway_session) DO UPDATE SET room_id = EXCLUDED.room_id, updated_at = EXCLUDED.updated_at;
