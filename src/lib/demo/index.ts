/** The main job as one list of steps over the rooms below; does no step itself. */
export { createDemo, type Demo, demoFolder } from './demo.js';
export { type DemoFolds, type DemoResult, demoResultSchema } from './result.js';
