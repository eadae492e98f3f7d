export { run } from './program.ts';
export { type LocalService, type ServiceOptions, sampleModels, startService, untilReady } from './service.ts';
