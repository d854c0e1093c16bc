/** Teaching the model of a running loop: the last seconds get a label, are kept as a recording, and the last layer learns from them. */
export { createTeacher } from './teacher.js';
export type { TaughtResult, TeachEvent, Teacher, TeacherOptions, TeachKey } from './types.js';
