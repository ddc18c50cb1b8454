"""What the page says, in English and Portuguese. Only words; a language is added by adding one entry to WORDS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One language. ``labels`` are keyed by the model's field, ``codes`` by field and code, ``units`` by its unit."""

    tag: str  # BCP 47, for the page's lang attribute
    name: str  # of the language, in the language
    title: str
    intro: str
    caution: str
    ask: str
    unknown: str
    answer: str
    filled: str
    problems: str
    refused_number: str
    refused_choice: str
    decimal_point: str
    labels: Mapping[str, str]
    codes: Mapping[str, Mapping[int, str]]
    units: Mapping[str, str]


WORDS = {
    "en": Words(
        tag="en",
        name="English",
        title="Probability of heart disease",
        intro="Type what is known and leave the rest empty: the model then takes the usual value of its data.",
        caution="A demonstration learned from 303 patients of one clinic (Cleveland, 1988). Not medical advice.",
        ask="Calculate",
        unknown="not known",
        answer="Probability of heart disease: {percent} %",
        filled="Left empty, the usual value taken: {fields}.",
        problems="Nothing was calculated. Please correct:",
        refused_number="{label}: “{value}” is not accepted. Type a number from {low} to {high} {unit}, or nothing.",
        refused_choice="{label}: “{value}” is not accepted. Choose one of the list, or “not known”.",
        decimal_point=".",
        labels={
            "age": "Age",
            "sex": "Sex",
            "cp": "Chest pain",
            "trestbps": "Blood pressure at rest",
            "chol": "Serum cholesterol",
            "fbs": "Fasting blood sugar above 120 mg/dl",
            "restecg": "ECG at rest",
            "thalach": "Highest heart rate reached",
            "exang": "Chest pain on exercise",
            "oldpeak": "ST depression by exercise",
            "slope": "Slope of the ST segment at peak exercise",
            "ca": "Major vessels coloured by fluoroscopy",
            "thal": "Thallium scan",
        },
        codes={
            "sex": {0: "female", 1: "male"},
            "cp": {1: "typical angina", 2: "atypical angina", 3: "not angina", 4: "none"},
            "fbs": {0: "no", 1: "yes"},
            "restecg": {0: "normal", 1: "ST-T abnormality", 2: "left ventricular hypertrophy"},
            "exang": {0: "no", 1: "yes"},
            "slope": {1: "upward", 2: "flat", 3: "downward"},
            "thal": {3: "normal", 6: "fixed defect", 7: "reversible defect"},
        },
        units={},
    ),
    "pt": Words(
        tag="pt-BR",
        name="Português",
        title="Probabilidade de doença cardíaca",
        intro="Digite o que souber e deixe o resto em branco: o modelo usa então o valor habitual dos seus dados.",
        caution="Demonstração aprendida com 303 pacientes de uma clínica (Cleveland, 1988). Não é orientação médica.",
        ask="Calcular",
        unknown="não sei",
        answer="Probabilidade de doença cardíaca: {percent} %",
        filled="Em branco, usado o valor habitual: {fields}.",
        problems="Nada foi calculado. Corrija, por favor:",
        refused_number="{label}: “{value}” não é aceito. Digite um número de {low} a {high} {unit}, ou nada.",
        refused_choice="{label}: “{value}” não é aceito. Escolha um item da lista, ou “não sei”.",
        decimal_point=",",
        labels={
            "age": "Idade",
            "sex": "Sexo",
            "cp": "Dor no peito",
            "trestbps": "Pressão arterial em repouso",
            "chol": "Colesterol sérico",
            "fbs": "Glicemia em jejum acima de 120 mg/dl",
            "restecg": "ECG em repouso",
            "thalach": "Frequência cardíaca máxima atingida",
            "exang": "Dor no peito ao esforço",
            "oldpeak": "Depressão do segmento ST ao esforço",
            "slope": "Inclinação do segmento ST no pico do esforço",
            "ca": "Vasos principais corados na fluoroscopia",
            "thal": "Cintilografia com tálio",
        },
        codes={
            "sex": {0: "feminino", 1: "masculino"},
            "cp": {1: "angina típica", 2: "angina atípica", 3: "não anginosa", 4: "nenhuma"},
            "fbs": {0: "não", 1: "sim"},
            "restecg": {0: "normal", 1: "anormalidade ST-T", 2: "hipertrofia ventricular esquerda"},
            "exang": {0: "não", 1: "sim"},
            "slope": {1: "ascendente", 2: "plana", 3: "descendente"},
            "thal": {3: "normal", 6: "defeito fixo", 7: "defeito reversível"},
        },
        units={"years": "anos", "beats per minute": "batimentos por minuto"},
    ),
}
DEFAULT = "en"


def language(asked: str | None, accept_language: str) -> str:
    """The language to answer in: the one asked for by name, else the header's best known one, else English."""
    if asked in WORDS:
        return asked
    wanted = [(_weight(item), item.split(";")[0].strip().lower()[:2]) for item in accept_language.split(",")]
    known = [(weight, code) for weight, code in wanted if code in WORDS and weight > 0]
    return max(known, key=lambda pair: pair[0])[1] if known else DEFAULT


def _weight(item: str) -> float:
    _, _, weight = item.replace(" ", "").partition(";q=")
    try:
        return float(weight) if weight else 1.0
    except ValueError:
        return 0.0
