# What each setting does, one at a time: gnuplot -e "data='…'; image='…'" sweep.gp
set terminal pngcairo size 1300,900 noenhanced font ',11'
set output image
set multiplot layout 2,2 title 'Busiest/mean as a multiple of what an oracle with the default settings gets (geometric mean over the traces)'
set logscale x 2
set grid
set ylabel 'times the oracle'
set style data linespoints
set xlabel 'join_window (minutes)'
plot data index 0 using 1:2 title 'learned sizes', data index 1 using 1:2 title 'the oracle', \
	data index 2 using 1:2 title '10 a room'
set xlabel 'avg_room_occupancy (users)'
plot data index 3 using 1:2 title 'learned sizes', data index 4 using 1:2 title 'no sizes learned'
set xlabel 'what the latest meeting weighs (rate)'
plot data index 5 using 1:2 title 'learned sizes'
set xlabel 'the average counts like so many meetings (shrinkage, + 0.06)'
plot data index 6 using ($1 + 0.06):2 title 'learned sizes'
unset multiplot
