# Shards that share media servers: gnuplot -e "data='…'; image='…'" shards.gp
set terminal pngcairo size 900,420 noenhanced font ',11'
set output image
set datafile separator "\t"
set title 'Busiest server / mean over all shards, times that of one shard'
set logscale x 2
set xtics (1, 2, 4, 8)
set xlabel 'shards'
set ylabel 'times one shard (mean over the traces)'
set xrange [0.95:8.4]
set yrange [0.95:*]
set grid
set key outside right top noenhanced Left reverse samplen 3
array colours[4] = ['#b2182b', '#e08214', '#5aae61', '#1b7837']
plot for [i = 6:9] data using 1:i with linespoints lw 2 pt 7 lc rgb colours[i - 5] title columnheader(i), \
	for [i = 2:5] data using 1:i with linespoints dt 2 lw 2 pt 6 lc rgb colours[i - 1] title columnheader(i)
