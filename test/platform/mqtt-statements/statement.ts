import type { Lab } from '../../support/mqtt-lab.js';

/**
 * Why a statement has no check: it concerns only clients (`client`) or a feature that this broker always or never has (`supported`,
 * `absent`), it cannot be expressed on the wire (`format`), or another test file covers it.
 */
export type Reason = 'client' | 'supported' | 'absent' | 'format' | `test/${string}`;

interface Base {
  /** Numbers of the statement in MQTT 3.1.1, separated by spaces, such as `3.1.0-1` for [MQTT-3.1.0-1]. */
  v4?: string;
  /** The same for MQTT 5. */
  v5?: string;
  /** The statement in our own words. */
  says: string;
}

/** A normative statement of MQTT 3.1.1, MQTT 5 or both, with a check that fails for any broker that violates it. */
export type Statement = Base & ({ check: (lab: Lab) => Promise<void> } | { untested: Reason });

/** The numbers of a statement in one version of MQTT. */
export function numbersOf(statement: Statement, version: 4 | 5): string[] {
  const text = version === 4 ? statement.v4 : statement.v5;
  return text === undefined ? [] : text.split(' ');
}
