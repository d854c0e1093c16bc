import { unitFile, unitFolder, unitQuoted, unitSections, unitValue, unitWord } from '../../core/index.js';

/** A service of systemd that runs a command of aiot for as long as the machine does. */
export interface UnitOptions {
  /** One line for `systemctl status`. */
  description: string;
  /** Program and arguments, each a word. */
  command: readonly string[];
  /** `system` starts with the machine, `user` with the user's session (or the machine, after `loginctl enable-linger`). */
  scope: 'system' | 'user';
  /** Environment that aiot looks at: its folders, never a secret. */
  environment: Readonly<Record<string, string>>;
  /** File of NAME=VALUE lines that it reads too, if it is there: for what is a secret. */
  secrets?: string;
  /** Of a system service. */
  user?: string;
  /** Folder it is started in: relative paths are meant from there. */
  folder: string;
}

/** Text of the unit (systemd.unit(5), systemd.service(5)). */
export function unitText({
  description,
  command,
  scope,
  environment,
  secrets,
  user,
  folder,
}: UnitOptions): string {
  const variables = Object.entries(environment).map(
    ([name, value]) => `Environment=${unitQuoted(`${name}=${unitValue(value)}`)}`,
  );
  return unitSections({
    Unit: [
      `Description=${unitValue(description)}`,
      ...(scope === 'system' ? ['Wants=network-online.target', 'After=network-online.target'] : []),
      // It is started again for ever: outages last as long as they last.
      'StartLimitIntervalSec=0',
    ],
    Service: [
      'Type=exec',
      `ExecStart=${command.map(unitWord).join(' ')}`,
      `WorkingDirectory=${unitFolder(folder)}`,
      ...variables,
      ...(secrets === undefined ? [] : [`EnvironmentFile=-${unitFile(secrets)}`]),
      ...(scope === 'system' && user !== undefined ? [`User=${user}`] : []),
      'Restart=on-failure',
      'RestartSec=5',
      '# SIGTERM: what was read is written and acknowledged, then it ends with 0.',
      'TimeoutStopSec=30',
      'NoNewPrivileges=yes',
    ],
    Install: [`WantedBy=${scope === 'system' ? 'multi-user.target' : 'default.target'}`],
  });
}
