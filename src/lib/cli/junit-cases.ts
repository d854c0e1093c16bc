import type { CheckReport } from '../data/index.js';
import type { CheckedDeployment } from '../deploy/index.js';
import type { Conformity } from '../device/index.js';
import type { JunitCase } from '../formats/index.js';
import type { Gate } from '../model/index.js';

/** A gate each; where there is none, nothing was checked. */
export function gateCases(gates: readonly Gate[]): JunitCase[] {
  return gates.map(({ name, limit, got, passed }) => ({
    className: 'gates',
    name: `${name} ${limit}`,
    failure: passed ? undefined : `${name}: limit ${limit}, got ${got ?? 'nothing'}`,
  }));
}

export function conformityCases({ checks }: Conformity): JunitCase[] {
  return checks.map(({ id, section, state, reason }) => ({
    className: section,
    name: id,
    failure: state === 'failed' ? (reason ?? 'failed') : undefined,
    skipped: state === 'skipped' ? (reason ?? 'skipped') : undefined,
  }));
}

/** A finding each: an error is a failure, and the rest is told as passed. Without any, one case says so. */
export function findingCases(findings: CheckReport['findings']): JunitCase[] {
  if (findings.length === 0) return [{ className: 'data', name: 'nothing found' }];
  return findings.map(({ kind, severity, message, advice, files }) => ({
    className: kind,
    name: `${severity}: ${message}`,
    failure: severity === 'error' ? [message, advice, ...files].join('\n') : undefined,
  }));
}

/** The same for files of an installation. */
export function deployCases({ findings }: CheckedDeployment): JunitCase[] {
  if (findings.length === 0) return [{ className: 'deploy', name: 'nothing found' }];
  return findings.map(({ level, rule, file, line, object, message }) => ({
    className: rule,
    name: `${file}:${line} ${object}`,
    failure: level === 'error' ? message : undefined,
  }));
}
