#!/bin/sh
# Run once on each Raspberry Pi, as root: sets the kernel and disk options that K3s needs. Running it again changes nothing.
set -eu
line=/boot/firmware/cmdline.txt
[ -e "$line" ] || line=/boot/cmdline.txt
[ "$(wc -l <"$line")" -le 1 ] || { echo "$line: expected one line, got several: a Pi would not boot with them" >&2; exit 1; }
words=$(tr -d '\n' <"$line")
for flag in cgroup_memory=1 cgroup_enable=memory; do
  case " $words " in
    *" $flag "*) ;;
    *) words="$words $flag" ;;
  esac
done
if [ "$words" != "$(tr -d '\n' <"$line")" ]; then
  cp "$line" "$line.before-k3s"
  # Replaces the file atomically; it remains a single line.
  printf '%s\n' "$words" >"$line.part"
  mv "$line.part" "$line"
  echo "$line now has the cgroup flags: reboot before you install K3s"
fi
# Swapping wears out an SD card and delays etcd.
for unit in dphys-swapfile.service rpi-zram-writeback.service systemd-zram-setup@zram0.service; do
  systemctl list-unit-files "$unit" >/dev/null 2>&1 && systemctl disable --now "$unit" 2>/dev/null || true
done
swapoff -a || true
