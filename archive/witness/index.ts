export { type Cosigned, cosignaturesOf, cosignHead } from './client.ts';
