import type { Project, ProjectConfig } from '../../core/index.js';
import type { Finding } from '../../data/index.js';
import type { FoldsFile } from '../train/folds/types.js';

/** What devices answered live; `LiveFigures` of the registry fits. */
export interface ReportLive {
  windows: number;
  accuracy: number;
  macroF1: number;
  voted?: { accuracy: number; macroF1: number };
  confusion: number[][];
  latencyMs: { p50: number; p99: number };
}

export interface ReportOptions {
  /** HTML file to write. */
  file: string;
  project: Project;
  live?: ReportLive;
  findings?: Finding[];
  /** What has just been trained with; nobody keeps it later. */
  settings?: ProjectConfig['model']['train'];
  /** Measured before this training; otherwise those of build/folds.json, where they are of this data and these settings. */
  folds?: FoldsFile | null;
}
