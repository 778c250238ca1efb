# A group of bars for each trace, a bar for each policy: gnuplot -e "data='…'; image='…'" balance.gp
set terminal pngcairo size 1500,620 font ',11'
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
stats data skip 1 nooutput
policies = STATS_records
traces = (STATS_columns - 1) / 2
# Bars of a policy need a column: the data have a line.
array names[policies]
transposed = data.'.columns'
system sprintf("awk -F'\\t' '{ for (i = 1; i <= NF; i++) cell[NR, i] = $i } END { for (i = 2; i <= NF; i += 2) { printf \"%%s\", cell[1, i]; for (j = 2; j <= NR; j++) printf \"\\t%%s\\t%%s\", cell[j, i], cell[j, i + 1]; print \"\" } }' '%s' >'%s'", data, transposed)
name(i) = system(sprintf("awk -F'\\t' 'NR == %d { gsub(/\"/, \"\"); print $1 }' '%s'", i + 1, data))
plot for [i = 1:policies] transposed using (column(2 * i)):(column(2 * i + 1)):xtic(1) title name(i)
