# A group of bars for each trace, a bar for each policy: gnuplot -e "data='…'; image='…'" balance.gp
set terminal pngcairo size 1500,620 noenhanced font ',11'
set output image
set datafile separator "\t"
set title 'Busiest server / mean in the busy hours (mean over the seeds, 95% confidence)'
set style data histogram
set style histogram errorbars gap 2 lw 1
set style fill solid 0.85 border -1
set bars small
set yrange [1:4]
set ylabel 'busiest / mean (cut off at 4)'
set grid ytics
set key outside right top noenhanced
set xtics noenhanced
# Ours in greens, the oracle black, the others in warm colours and greys.
array colours[14] = ['#1b7837', '#000000', '#5aae61', '#a6dba0', '#c7e9c0', '#d9f0d3', \
	'#b2182b', '#ef8a62', '#fdae61', '#8c510a', '#c51b7d', '#f1b6da', '#999999', '#cccccc']
do for [i = 1:14] { set linetype i lc rgb colours[i] }
stats data skip 1 using 2 nooutput
plot for [i = 2:STATS_columns - 1:2] data using i:(column(i + 1)):xtic(1) title columnheader(i)
