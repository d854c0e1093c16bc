/** Runs of projects' pipelines, as their runners tell them. `summary` and `data` are JSON: what lists show, and all of it. */
export const pipelineRuns = `
  CREATE TABLE pipelineRuns (
    project TEXT NOT NULL, run TEXT NOT NULL, state TEXT NOT NULL, told INTEGER NOT NULL, summary TEXT NOT NULL,
    data TEXT NOT NULL, PRIMARY KEY (project, run)
  ) STRICT;
`;
