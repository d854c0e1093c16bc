/** The main job as one list of steps over the rooms below; does no step itself. */
export {
  createDemo,
  type Demo,
  type DemoFolds,
  type DemoResult,
  demoFolder,
  demoResultSchema,
} from './demo.js';
