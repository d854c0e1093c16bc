import { AiotCommand } from '../lib/cli/command.js';
import { duration } from '../lib/cli/flags/shared.js';
import { dim, green, red, yellow } from '../lib/cli/render/style.js';
import { next } from '../lib/cli/render/text.js';
import { examine } from '../lib/doctor/examine.js';
import { diagnosisSchema, type Finding } from '../lib/doctor/finding.js';

const marks = { ok: () => green('✓'), warn: () => yellow('!'), fail: () => red('✗') };

function line({ check, status, detail, next: step }: Finding, width: number): string {
  const advice = step === null ? '' : `\n  ${' '.repeat(width)}  ${dim('Try:')} ${step}`;
  return `${marks[status]()} ${check.padEnd(width)}  ${detail}${advice}`;
}

export default class Doctor extends AiotCommand {
  static override summary =
    'Check that this machine has what is needed, and say what to do where it has not.';
  static override description = 'Changes nothing. Exit 6 when a check fails; a warning is no failure.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --json',
  ];
  static override flags = {
    timeout: duration({
      summary: 'How long a platform may take to answer.',
      env: 'AIOT_TIMEOUT',
      default: 3000,
      defaultHelp: async () => '3s',
    }),
  };
  static override result = diagnosisSchema;

  async run() {
    const { flags } = await this.input(Doctor);
    const diagnosis = await examine({
      env: process.env,
      ports: { http: 8443, mqtts: 8883 },
      timeoutMs: flags.timeout,
      now: Date.now,
      signal: this.signal,
    });
    const width = Math.max(...diagnosis.checks.map(({ check }) => check.length));
    this.print(diagnosis.checks.map((finding) => line(finding, width)).join('\n'));
    const hasPlatform = diagnosis.checks.some(({ check }) => check.startsWith('context '));
    this.print(next(!diagnosis.healthy ? 'aiot doctor' : hasPlatform ? 'aiot status' : 'aiot demo'));
    if (!diagnosis.healthy) this.exitsWith(6);
    return diagnosis;
  }
}
