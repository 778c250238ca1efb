DROP VIEW IF EXISTS public.composite_answers, public.room_answers, public.room_users;
