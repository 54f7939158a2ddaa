export { runWorkflow } from './workflow.ts'
