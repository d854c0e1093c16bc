import type { Project } from '../core/project.js';
import type { TopicSpec } from '../stream/broker/admin.js';
import type { Usual, Values } from './values.js';

/** What a target is rendered from. */
export interface RenderInput {
  /** null where there is none: a target then renders what the motion system needs. */
  project: Project | null;
  /** JetStream streams of the project (its streams.yaml), or the motion system's. */
  streams: readonly TopicSpec[];
  /** deploy.yaml, with what it leaves out. */
  values: Values;
  /** The project's pipeline as objects of Argo; null without a project, or without Argo. */
  pipeline: RenderedPipeline | null;
  /** Text of the project's files that services read, by their paths in it. */
  files: ReadonlyMap<string, string>;
}

export interface RenderedPipeline {
  files: readonly RenderedFile[];
  /** Files of the project that are too large to stand in a template, and where in the bucket each is put by hand. */
  large: readonly { path: string; url: string }[];
}

/** One file of an installation. Secrets are in none: they are named where they are to be. */
export interface RenderedFile {
  /** In the folder, with `/`. */
  path: string;
  text: string;
  /** What it is for, in some words. */
  about: string;
}

/** A way to install. Pure: the same input gives the same files. */
export interface DeployTarget {
  name: string;
  about: string;
  /** What to type in the folder next. */
  next: string;
  /** Parts that are there where deploy.yaml says nothing of them. */
  usual: (project: Project | null) => Usual;
  render(input: RenderInput): RenderedFile[];
}
