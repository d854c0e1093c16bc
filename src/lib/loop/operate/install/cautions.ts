/** What to know before a service is started: a line each. */
export function cautionsFor({
  sensor,
  outputs,
  user,
  missing,
}: {
  sensor: string | undefined;
  outputs: number;
  user: string | undefined;
  missing: readonly string[];
}): string[] {
  return [
    ...(sensor === undefined
      ? ['No sensor is named, by --sensor or loop.sensor of aiot.yaml: it will not start.']
      : []),
    ...(outputs === 0
      ? ['No output is named, by --out or loop.out of aiot.yaml: answers go to the journal alone.']
      : []),
    ...missing.map(
      (group) =>
        `There is no group ${group} on this machine, which would let it use its device: sudo groupadd --system ${group}, a rule of udev that gives the device to it, and this once more.`,
    ),
    ...(user === 'root' ? ['It runs as root; a user of its own is safer: --user dynamic.'] : []),
  ];
}
