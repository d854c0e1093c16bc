import type { Project } from '../../core/index.js';
import type { Finding } from '../../data/index.js';

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
}
