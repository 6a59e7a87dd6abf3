"""The company's knowledge articles."""

from __future__ import annotations

from pydantic import Field

from envs.tools.company import Company
from envs.tools.schema import Answer, Arguments, Tool, ToolError

__all__ = ["TOOLS"]


class SearchKnowledge(Arguments):
    """Arguments of `search_knowledge`."""

    query: str = Field(description="words of the topic", min_length=1, max_length=100)


def _search_knowledge(company: Company, asked: SearchKnowledge) -> Answer:
    words = set(asked.query.casefold().split())
    articles = company.world.articles
    scored = [(len(words & set(article.title.split())), -place) for place, article in enumerate(articles)]
    score, place = max(scored)
    if not score:
        raise ToolError(f"no article about {asked.query!r}; articles are {', '.join(a.title for a in articles)}")
    article = articles[-place]
    return {"title": article.title, "text": article.text, "amount": article.amount}


TOOLS = (Tool("search_knowledge", "Find the best article of the company's rules.", SearchKnowledge, _search_knowledge),)
