import type { ProjectConfig } from './schema.js';

/** Whether a project's network learns from labels; an autoencoder learns what is usual from rows without one. */
export function needsLabels({ model }: ProjectConfig): boolean {
  return model.kind !== 'autoencoder';
}
