# The delay report as wasm/delays.c writes it, in the shell of busybox: all CSV files of /inputs.
for file in /inputs/*.csv; do echo "$file: $(($(wc -l <"$file") - 1)) flights"; done
awk -F, '
  $1 == "year"                { next }
                              { key = $10 "," $13; flights[key]++ }
  $4 == "" || $4 == "NA"      { cancelled[key]++; next }
  $6 >= 15                    { late[key]++ }
  !(key in max) || $6 > max[key] { max[key] = $6 }
                              { sum[key] += $6 }
  END {
    print "carrier,origin,flights,late15,sum_dep_delay_minutes,max_dep_delay,cancelled"
    for (key in flights)
      print key "," flights[key] "," late[key] + 0 "," sum[key] + 0 "," max[key] "," cancelled[key] + 0
  }' /inputs/*.csv >/outputs/delays.csv
