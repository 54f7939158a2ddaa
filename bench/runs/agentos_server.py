"""The peer: one AgentOS process with one agent and one tool. Usage: agentos_server.py PORT MODEL_URL [SQLITE_FILE]"""

import sys

import uvicorn
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.openai.like import OpenAILike
from agno.os import AgentOS


def get_weather(city: str) -> str:
    """The weather in a city"""
    return f"{city}: 18 degrees and cloudy"


port, model_url, *sqlite_file = sys.argv[1:]
db = SqliteDb(db_file=sqlite_file[0]) if sqlite_file else None

agent = Agent(
    id="bench",
    model=OpenAILike(id="test-model", api_key="none", base_url=model_url),
    instructions="You answer questions about the weather. Call the tool before you answer.",
    tools=[get_weather],
    db=db,
    telemetry=False,
)
app = AgentOS(id="bench", agents=[agent], db=db, telemetry=False).get_app()

uvicorn.run(app, host="127.0.0.1", port=int(port), workers=1, log_level="warning", access_log=False)
