import type { ProjectConfig } from '../../core/index.js';

/** The parts of aiot.yaml that have no part in what a model becomes: where it runs, what runs beside it, and what has it trained. */
const without = new Set(['loop', 'up', 'pipeline']);

/** What is left of aiot.yaml without these: what a training is known by. */
export function trainingConfig(config: ProjectConfig): Partial<ProjectConfig> {
  return Object.fromEntries(Object.entries(config).filter(([name]) => !without.has(name)));
}
