/*
 * Instead of the hash: rooms of a region are in a partition of that region's shard. Run it after proxy.sql, in the same
 * schema, and fill the tables; they are the same in all proxies. It is the room's region that counts, not that of a
 * caller. Rooms without a row go by the hash. A room that is in use must keep its partition.
 */
CREATE TABLE public.shard_regions (
	region text PRIMARY KEY,
	partition int NOT NULL
);
REVOKE ALL ON public.shard_regions FROM PUBLIC;
COMMENT ON TABLE public.shard_regions IS 'a partition of the shard that has the rooms of a region';

CREATE TABLE public.shard_rooms (
	room_id text PRIMARY KEY,
	region text NOT NULL REFERENCES public.shard_regions ON UPDATE CASCADE
);
REVOKE ALL ON public.shard_rooms FROM PUBLIC;
COMMENT ON TABLE public.shard_rooms IS 'the region of each room that has one';

CREATE OR REPLACE FUNCTION public.shard_of(room text) RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN coalesce((SELECT g.partition FROM public.shard_rooms r JOIN public.shard_regions g USING (region) WHERE r.room_id = room),
		('x' || left(md5(convert_to(room, 'UTF8')), 8))::bit(32)::int, 0);
COMMENT ON FUNCTION public.shard_of(text) IS 'the partition of a room: that of its region, else one by the hash';
