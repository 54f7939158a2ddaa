export { runTeam, TEAM_TIMEOUT_SECONDS } from './team.ts'
