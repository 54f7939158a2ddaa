import type { Files } from '../../lib/mounted-directory.ts'
import { weatherPrompt, weatherTool } from '../dev/subjects.ts'

/** The prompt that every runtime here has, and that its agent answers with. */
const PROMPT = 'You answer questions about the weather.\n'

/** A mounted directory's files, by the token that an answer of them shows. */
export const toolFiles = (token: string): Files => ({
  'weather.tool.ts': weatherTool(token),
  'support.prompt.md': PROMPT,
})

/** With a call that the new version has to pass before it serves. */
export const testedToolFiles = (token: string): Files => ({
  ...toolFiles(token),
  'weather.tool.ts': weatherTool(token).replace(
    '  execute:',
    "  selfTest: () => {\n    if (!inUnit(20, 'fahrenheit').includes('68')) throw new Error('wrong degrees')\n  },\n  execute:",
  ),
})

export const promptFiles = (token: string): Files => ({ 'support.prompt.md': weatherPrompt(token) })

/** The same tool for a runtime of Python. */
export const pythonFiles = (token: string): Files => ({
  'weather.py': `
from typing import Literal, NamedTuple, Optional

Unit = Literal["celsius", "fahrenheit"]


class Reading(NamedTuple):
    degrees: float
    sky: Literal["clear", "cloudy", "rain"]


READINGS = {
    "Paris": Reading(18, "cloudy"),
    "Oslo": Reading(7, "rain"),
    "Lisbon": Reading(24, "clear"),
}

description = "The weather in a city"
parameters = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Name of the city"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def in_unit(degrees: float, unit: Optional[Unit]) -> str:
    return f"{round(degrees * 1.8 + 32)} °F" if unit == "fahrenheit" else f"{degrees} °C"


def execute(city: str, unit: Optional[Unit] = None) -> str:
    degrees, sky = READINGS.get(city, Reading(15, "clear"))
    return f"{city}: {in_unit(degrees, unit)}, {sky}, version ${token}."
`,
})
