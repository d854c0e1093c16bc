/** Renders installations as files to look at and apply; runs nothing. */
export {};
