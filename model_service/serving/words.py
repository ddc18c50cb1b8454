"""Everything the page says, in English and Brazilian Portuguese.

A language is one ``Words``, and a new language is a new entry in WORDS. A model with features, limits or levels that
have no words here is still served; the page uses the names in its card. This file has only texts and the number formats
of a language; answer.py and form.py decide which text is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from serving.card import Choice, Feature, Measure


@dataclass(frozen=True)
class Said:
    """The texts of a feature. ``codes`` are its choices, each with a note that may be empty."""

    label: str
    help: str
    codes: Mapping[int, tuple[str, str]]


@dataclass(frozen=True)
class Words:
    """One language. answer.py and form.py fill in the braces; ``{rows}`` is the number of patients."""

    tag: str  # BCP 47, for the page's lang attribute
    name: str  # of the language, in the language
    decimal: str
    months: tuple[str, ...]
    date: str

    title: str
    intro: str
    caution: str
    emergency: str
    languages: str
    no_script: str
    away: str
    back: str

    groups: Mapping[str, tuple[str, str]]
    features: Mapping[str, Said]
    units: Mapping[str, str]
    unknown: str
    ask: str
    clear: str
    kept: str

    refused_text: str
    refused_number: str
    refused_choice: str
    refused_one: str
    refused_many: str

    answer: str
    inviting: str
    ready: str
    about: str
    fewer: str
    more: str
    sentence: str
    uncertainty: str
    unknown_one: str
    unknown_many: str
    all_known: str
    beyond: str
    alt_hundred: str
    key_hundred: str

    standing: str
    here: str
    ill: str
    well: str
    sure: str
    if_known: str
    one_dot: str
    many_dots: str
    above: str
    nearest: str
    alt_standing: str

    moved: str
    moved_intro: str
    moved_nothing: str
    raises: str
    lowers: str
    hardly: str
    point_one: str
    point_many: str
    from_to: str

    good: str
    good_intro: str
    chance: str
    everything: str
    levels: Mapping[str, str]
    times: str
    yours: str
    fewer_known: str
    off: str

    limits: str
    data_share: str
    translated: Mapping[str, str]

    made: str
    commit: str
    version: str
    health: str
    card: str

    def number(self, value: float, places: int = 6) -> str:
        """A number as this language writes it, with no more than ``places`` decimals."""
        return f"{round(value, places):.12g}".replace(".", self.decimal)

    def percent(self, probability: float) -> str:
        """A probability in whole percent, but never 0 % or 100 %, because the model is not that certain."""
        whole = round(probability * 100)
        return "<1%" if whole < 1 else ">99%" if whole > 99 else f"{whole}%"

    def count(self, probability: float) -> str:
        """The number of ill people among one hundred, in words."""
        whole = round(probability * 100)
        return self.fewer if whole < 1 else self.more if whole > 99 else self.about.format(count=whole)

    def points(self, change: float) -> str:
        """A difference of probabilities in percentage points, without its sign."""
        whole = round(abs(change) * 100)
        return (self.point_one if whole == 1 else self.point_many).format(points=whole)

    def day(self, at: datetime) -> str:
        """The date in this language's format."""
        return self.date.format(day=at.day, month=self.months[at.month - 1], year=at.year)

    def label(self, name: str) -> str:
        """The name of a feature."""
        return self.features[name].label if name in self.features else name

    def unit(self, measure: Measure) -> str:
        """The unit of a measure."""
        return self.units.get(measure.unit, measure.unit)

    def code(self, choice: Choice, code: int) -> tuple[str, str]:
        """A choice's text and its note, which may be empty."""
        said = self.features.get(choice.name)
        return said.codes.get(code, (str(code), "")) if said else (str(code), "")

    def value(self, feature: Feature, value: float) -> str:
        """A known value, with its unit."""
        if isinstance(feature, Choice):
            return self.code(feature, int(value))[0]
        return f"{self.number(value)} {self.unit(feature)}"

    def translation(self, text: str) -> tuple[str, str]:
        """A text of the card in this language, or in English without a translation, and the tag of that language."""
        return (self.translated[text], self.tag) if text in self.translated else (text, "en")


# The groups of the form and their features, in order. The values that a person knows at home come first. A feature that
# is not listed here is in the last group.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "home": ("age", "sex", "trestbps"),
    "doctor": ("cp", "chol", "fbs", "restecg"),
    "exercise": ("thalach", "exang", "oldpeak", "slope"),
    "scans": ("ca", "thal"),
    "other": (),
}

MEANS = "heart disease: a major vessel narrowed by more than 50 %"
LIMIT_DATA = (
    "Learned from 303 patients sent to one clinic (Cleveland, 1981-1984) for an angiogram: nearly half of them were "
    "ill. Among people who were not sent to one, far fewer are."
)
LIMIT_WHO = "206 of the 303 are men, and 29 to 77 years old: for others the model guesses further than it knows."
LIMIT_USE = "It is a demonstration and no diagnosis. It was never tried on patients of today."

ENGLISH_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
PORTUGUESE_MONTHS = (
    "janeiro", "fevereiro", "março", "abril", "maio", "junho",
    "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
)  # fmt: skip

ENGLISH = Words(
    tag="en",
    name="English",
    decimal=".",
    months=ENGLISH_MONTHS,
    date="{day} {month} {year}",
    title="Probability of heart disease",
    intro=(
        "Type what you know and leave the rest as it is. A model that learned from {rows} patients answers with a "
        "probability, says how unsure it is, and shows what moved it."
    ),
    caution="This is a demonstration and no diagnosis. Speak with a doctor about your heart.",
    emergency="Chest pain right now? Call your emergency number (112, 911) and do not type anything here.",
    languages="Language",
    no_script=(
        "This page needs JavaScript, and it is switched off in your browser. Switch it on and load the page again; or "
        "ask the model without a page, as /openapi.json describes."
    ),
    away="The connection is lost. Trying again; what you typed is kept.",
    back="Connected again.",
    groups={
        "home": ("What you may know at home", "Age and sex alone already give an answer."),
        "doctor": ("From a doctor or a laboratory", "From a visit, a blood test, an electrocardiogram (ECG)."),
        "exercise": ("From an exercise test", "On a treadmill or a bicycle, with an ECG running. It is in its report."),
        "scans": ("From scans of the heart", "From the reports of a hospital or a specialist."),
        "other": ("Further values", ""),
    },
    features={
        "age": Said("Age", "The model knows people from 29 to 77 best.", {}),
        "sex": Said("Sex", "The data knows only these two.", {0: ("Female", ""), 1: ("Male", "")}),
        "trestbps": Said(
            "Blood pressure at rest",
            "The upper number only: 120 of “120/80”. A home monitor or a pharmacy shows it.",
            {},
        ),
        "cp": Said(
            "Chest pain",
            "Angina is pressure behind the breastbone (1), brought on by effort (2), gone within minutes of rest (3).",
            {
                1: ("Typical angina", "all three of these"),
                2: ("Atypical angina", "two of the three"),
                3: ("Other pain", "one of them, or none"),
                4: ("No pain", ""),
            },
        ),
        "chol": Said(
            "Total cholesterol", "“Total cholesterol” on a blood test. Given in mmol/l? Multiply it by 38.7.", {}
        ),
        "fbs": Said(
            "Blood sugar above 120 mg/dl",
            "From a blood test before breakfast. 120 mg/dl is 6.7 mmol/l.",
            {0: ("No", ""), 1: ("Yes", "")},
        ),
        "restecg": Said(
            "ECG at rest",
            "The conclusion in the report of an electrocardiogram taken lying down.",
            {
                0: ("Normal", ""),
                1: ("ST-T abnormality", ""),
                2: ("Left ventricular hypertrophy", "a thickened heart wall"),
            },
        ),
        "thalach": Said("Highest heart rate reached", "The peak pulse during the test.", {}),
        "exang": Said(
            "Chest pain during the test", "Whether the effort brought on angina.", {0: ("No", ""), 1: ("Yes", "")}
        ),
        "oldpeak": Said(
            "ST depression", "How far the ECG's ST line sank by effort, against rest. 0 when it did not.", {}
        ),
        "slope": Said(
            "ST slope at peak effort",
            "Where the ECG's ST line was heading at the hardest moment.",
            {1: ("Upward", ""), 2: ("Flat", ""), 3: ("Downward", "")},
        ),
        "ca": Said(
            "Major vessels coloured",
            "How many of the large vessels showed under X-ray with dye (fluoroscopy).",
            {0: ("0", ""), 1: ("1", ""), 2: ("2", ""), 3: ("3", "")},
        ),
        "thal": Said(
            "Thallium scan",
            "A scan of the blood flow in the heart muscle, at rest and under effort.",
            {
                3: ("Normal", ""),
                6: ("Fixed defect", "poor flow at rest too"),
                7: ("Reversible defect", "poor flow under effort only"),
            },
        ),
    },
    units={},
    unknown="Not known",
    ask="Show the answer",
    clear="Clear everything",
    kept=(
        "What you type goes to this service for the answer, and stays in this browser tab until you clear or close it."
    ),
    refused_text=(
        "“{typed}” is not a number. Type one from {low} to {high} {unit}, or leave it empty if it is not known."
    ),
    refused_number=(
        "{typed} is outside what can be answered. Type a number from {low} to {high} {unit}, or leave it empty if it "
        "is not known."
    ),
    refused_choice="“{typed}” is not one of the choices. Choose one of the list, or “Not known”.",
    refused_one="One value cannot be right. There is no answer until it is corrected:",
    refused_many="{count} values cannot be right. There is no answer until they are corrected:",
    answer="The answer",
    inviting="Nothing is known yet. Type at least an age or choose one value; age and sex are a good beginning.",
    ready="Press “Show the answer” when you have given what you know.",
    about="about {count}",
    fewer="fewer than 1",
    more="more than 99",
    sentence=(
        "Of 100 people in the data with such values, {count} have the disease <span>(between {low} and {high})</span>."
    ),
    uncertainty="The range is what so few patients can tell: 9 times in 10 the true share lies in it.",
    unknown_one=(
        "One value is not known. Were it known, the probability would lie between {low} and {high} four times in five."
    ),
    unknown_many=(
        "{count} values are not known. Were they known, the probability would lie between {low} and {high} "
        "four times in five."
    ),
    all_known="All {count} values are known.",
    beyond="{label} {value}: the data held {low} to {high} only. Here the model guesses further than it knows.",
    alt_hundred=(
        "One hundred dots for one hundred people. {ill} are filled: they have the disease. The uncertainty "
        "reaches from "
        "{low} to {high}."
    ),
    key_hundred="Each dot is one of 100 people. Filled: ill. With a point inside: within the uncertainty.",
    standing="Among the {rows} patients",
    here="Here: {percent}",
    ill="ill",
    well="healthy",
    sure="uncertainty",
    if_known="were the rest known",
    one_dot="Each dot is a patient of the data, placed by the probability that the model, not having seen them, gave.",
    many_dots=(
        "Each dot stands for {per} patients of the data, placed by the probability that the model, not having seen "
        "them, gave."
    ),
    above="This probability is higher than that of {count} of the {rows}.",
    nearest="Of the {patients} patients who came nearest to it, {ill} were ill.",
    alt_standing=(
        "The {rows} patients of the data along a line from 0 to 100 percent, {ill} ill and {well} healthy. Most of the "
        "healthy are at the left, most of the ill at the right. The marker is at {percent}, its uncertainty from {low} "
        "to {high}. {above} {nearest}"
    ),
    moved="What moved the answer most",
    moved_intro="For each value: the answer with it, against the answer if it alone were not known.",
    moved_nothing="Here you will see which of your values raised the probability, and which lowered it.",
    raises="raises it by {points}",
    lowers="lowers it by {points}",
    hardly="hardly moves it",
    point_one="{points} point",
    point_many="{points} points",
    from_to="{without} without, {with_it} with it",
    good="How good is this model?",
    good_intro=(
        "Take one ill and one healthy patient whom the model has not seen. How often out of 100 does it give the ill "
        "one the higher probability?"
    ),
    chance="By tossing a coin",
    everything="Everything known",
    levels={
        "at home": "Age, sex and blood pressure known",
        "before the scans": "All but the scans known",
    },
    times="{value} ({low} to {high})",
    yours="You have given at least this",
    fewer_known="You have given less than the first of these: expect it to be less good still.",
    off="Its probabilities are off by {points} on average when everything is known. All figures are in the card.",
    limits="What it cannot tell",
    data_share=(
        "Of the {rows} patients in the data {ill} were ill ({percent}): a share of those sent to that clinic, not "
        "of people at large."
    ),
    translated={
        MEANS: "“The disease” means here: a major vessel of the heart narrowed by more than 50 %.",
        LIMIT_DATA: LIMIT_DATA.replace("1981-1984", "1981 to 1984"),
        LIMIT_WHO: LIMIT_WHO,
        LIMIT_USE: LIMIT_USE,
    },
    made="Model {model} ({kind}), trained on {day}",
    commit="commit {commit}",
    version="Version",
    health="Health of the service",
    card="Model card",
)

PORTUGUESE = Words(
    tag="pt-BR",
    name="Português",
    decimal=",",
    months=PORTUGUESE_MONTHS,
    date="{day} de {month} de {year}",
    title="Probabilidade de doença cardíaca",
    intro=(
        "Preencha o que você sabe e deixe o resto como está. Um modelo que aprendeu com {rows} pacientes responde com "
        "uma probabilidade, diz o quanto está incerto e mostra o que mais pesou."
    ),
    caution="Isto é uma demonstração e não um diagnóstico. Converse com um médico sobre o seu coração.",
    emergency="Dor no peito agora? Ligue para a emergência (SAMU, 192) e não preencha nada aqui.",
    languages="Idioma",
    no_script=(
        "Esta página precisa de JavaScript, que está desligado no seu navegador. Ligue-o e carregue a página de novo; "
        "ou pergunte ao modelo sem a página, como descreve /openapi.json."
    ),
    away="A conexão caiu. Tentando de novo; o que você preencheu está guardado.",
    back="Conectado de novo.",
    groups={
        "home": ("O que você talvez saiba em casa", "Só a idade e o sexo já dão uma resposta."),
        "doctor": ("De um médico ou laboratório", "De uma consulta, um exame de sangue, um eletrocardiograma (ECG)."),
        "exercise": ("De um teste de esforço", "Na esteira ou na bicicleta, com o ECG ligado. Está no laudo do teste."),
        "scans": ("De exames de imagem do coração", "Dos laudos de um hospital ou especialista."),
        "other": ("Outros valores", ""),
    },
    features={
        "age": Said("Idade", "O modelo conhece melhor pessoas de 29 a 77.", {}),
        "sex": Said("Sexo", "Os dados só conhecem estes dois.", {0: ("Feminino", ""), 1: ("Masculino", "")}),
        "trestbps": Said(
            "Pressão arterial em repouso",
            "Só o número de cima, em mm Hg: 120 de “120/80” (12 por 8). Um aparelho de casa ou da farmácia mostra.",
            {},
        ),
        "cp": Said(
            "Dor no peito",
            "Angina é um aperto atrás do osso do peito (1), que vem com esforço (2) e passa em minutos de repouso (3).",
            {
                1: ("Angina típica", "os três sinais"),
                2: ("Angina atípica", "dois dos três"),
                3: ("Outra dor", "um deles, ou nenhum"),
                4: ("Sem dor", ""),
            },
        ),
        "chol": Said(
            "Colesterol total", "“Colesterol total” no exame de sangue. Está em mmol/l? Multiplique por 38,7.", {}
        ),
        "fbs": Said(
            "Glicemia acima de 120 mg/dl",
            "De um exame de sangue em jejum. 120 mg/dl são 6,7 mmol/l.",
            {0: ("Não", ""), 1: ("Sim", "")},
        ),
        "restecg": Said(
            "ECG em repouso",
            "A conclusão no laudo de um eletrocardiograma feito com a pessoa deitada.",
            {
                0: ("Normal", ""),
                1: ("Alteração de ST-T", ""),
                2: ("Hipertrofia ventricular esquerda", "parede do coração espessada"),
            },
        ),
        "thalach": Said("Frequência cardíaca máxima atingida", "O pulso mais alto durante o teste.", {}),
        "exang": Said(
            "Dor no peito durante o teste", "Se o esforço provocou angina.", {0: ("Não", ""), 1: ("Sim", "")}
        ),
        "oldpeak": Said(
            "Depressão do ST",
            "Quanto a linha ST do ECG desceu com o esforço, em relação ao repouso. 0 se não desceu.",
            {},
        ),
        "slope": Said(
            "Inclinação do ST no pico do esforço",
            "Para onde ia a linha ST do ECG no momento mais difícil.",
            {1: ("Ascendente", ""), 2: ("Plana", ""), 3: ("Descendente", "")},
        ),
        "ca": Said(
            "Vasos principais corados",
            "Quantos dos grandes vasos apareceram no raio X com contraste (fluoroscopia).",
            {0: ("0", ""), 1: ("1", ""), 2: ("2", ""), 3: ("3", "")},
        ),
        "thal": Said(
            "Cintilografia com tálio",
            "Imagem do fluxo de sangue no músculo do coração, em repouso e em esforço.",
            {
                3: ("Normal", ""),
                6: ("Defeito fixo", "pouco fluxo também em repouso"),
                7: ("Defeito reversível", "pouco fluxo só em esforço"),
            },
        ),
    },
    units={"years": "anos", "beats per minute": "batimentos por minuto"},
    unknown="Não sei",
    ask="Mostrar a resposta",
    clear="Limpar tudo",
    kept=(
        "O que você preenche vai a este serviço para a resposta, e fica nesta aba do navegador até você limpar ou "
        "fechar."
    ),
    refused_text="“{typed}” não é um número. Digite um de {low} a {high} {unit}, ou deixe em branco se não souber.",
    refused_number=(
        "{typed} está fora do que se pode responder. Digite um número de {low} a {high} {unit}, ou deixe em branco se "
        "não souber."
    ),
    refused_choice="“{typed}” não é uma das opções. Escolha uma da lista, ou “Não sei”.",
    refused_one="Um valor não pode estar certo. Não há resposta até ser corrigido:",
    refused_many="{count} valores não podem estar certos. Não há resposta até serem corrigidos:",
    answer="A resposta",
    inviting="Ainda não se sabe nada. Digite ao menos a idade ou escolha um valor; idade e sexo são um bom começo.",
    ready="Clique em “Mostrar a resposta” quando tiver preenchido o que sabe.",
    about="cerca de {count}",
    fewer="menos de 1",
    more="mais de 99",
    sentence=(
        "De cada 100 pessoas dos dados com valores assim, {count} têm a doença <span>(entre {low} e {high})</span>."
    ),
    uncertainty="A faixa é o que tão poucos pacientes permitem dizer: 9 vezes em 10 a parcela verdadeira está nela.",
    unknown_one=(
        "Um valor não é conhecido. Se fosse, a probabilidade estaria entre {low} e {high} quatro vezes em cinco."
    ),
    unknown_many=(
        "{count} valores não são conhecidos. Se fossem, a probabilidade estaria entre {low} e {high} quatro "
        "vezes em cinco."
    ),
    all_known="Todos os {count} valores são conhecidos.",
    beyond="{label} {value}: os dados só tinham de {low} a {high}. Aqui o modelo supõe mais do que sabe.",
    alt_hundred=("Cem pontos para cem pessoas. {ill} estão cheios: têm a doença. A incerteza vai de {low} a {high}."),
    key_hundred="Cada ponto é uma de 100 pessoas. Cheio: doente. Com um miolo: dentro da incerteza.",
    standing="Entre os {rows} pacientes",
    here="Aqui: {percent}",
    ill="doentes",
    well="saudáveis",
    sure="incerteza",
    if_known="se o resto fosse conhecido",
    one_dot="Cada ponto é um paciente dos dados, na probabilidade que o modelo, sem tê-lo visto, lhe deu.",
    many_dots="Cada ponto são {per} pacientes dos dados, na probabilidade que o modelo, sem tê-los visto, lhes deu.",
    above="Esta probabilidade é maior que a de {count} dos {rows}.",
    nearest="Dos {patients} pacientes mais próximos dela, {ill} estavam doentes.",
    alt_standing=(
        "Os {rows} pacientes dos dados ao longo de uma linha de 0 a 100 por cento, {ill} doentes e {well} saudáveis. A "
        "maioria dos saudáveis está à esquerda, a maioria dos doentes à direita. O marcador está em {percent}, sua "
        "incerteza de {low} a {high}. {above} {nearest}"
    ),
    moved="O que mais pesou na resposta",
    moved_intro="Para cada valor: a resposta com ele, contra a resposta se só ele não fosse conhecido.",
    moved_nothing="Aqui você verá quais dos seus valores aumentaram a probabilidade e quais a diminuíram.",
    raises="aumenta em {points}",
    lowers="diminui em {points}",
    hardly="quase não muda",
    point_one="{points} ponto",
    point_many="{points} pontos",
    from_to="{without} sem ele, {with_it} com ele",
    good="Quão bom é este modelo?",
    good_intro=(
        "Tome um paciente doente e um saudável que o modelo não viu. Quantas vezes em 100 ele dá ao doente a "
        "probabilidade maior?"
    ),
    chance="Jogando uma moeda",
    everything="Tudo conhecido",
    levels={
        "at home": "Idade, sexo e pressão conhecidos",
        "before the scans": "Tudo menos os exames de imagem",
    },
    times="{value} ({low} a {high})",
    yours="Você preencheu ao menos isto",
    fewer_known="Você preencheu menos que o primeiro destes: espere que seja ainda menos bom.",
    off="Suas probabilidades erram {points} em média quando tudo é conhecido. Todos os números estão na ficha.",
    limits="O que ele não sabe dizer",
    data_share=(
        "Dos {rows} pacientes dos dados, {ill} estavam doentes ({percent}): parcela de quem foi enviado àquela "
        "clínica, não da população."
    ),
    translated={
        MEANS: "“A doença” significa aqui: um vaso principal do coração estreitado em mais de 50 %.",
        LIMIT_DATA: (
            "Aprendido com 303 pacientes enviados a uma clínica (Cleveland, 1981 a 1984) para uma angiografia: quase "
            "metade estava doente. Entre pessoas que não foram enviadas a uma, muito menos estão."
        ),
        LIMIT_WHO: "206 dos 303 são homens, de 29 a 77 anos: para os outros o modelo supõe mais do que sabe.",
        LIMIT_USE: "É uma demonstração e não um diagnóstico. Nunca foi testado em pacientes de hoje.",
        "logistic regression": "regressão logística",
        "gradient boosting": "gradient boosting",
    },
    made="Modelo {model} ({kind}), treinado em {day}",
    commit="commit {commit}",
    version="Versão",
    health="Saúde do serviço",
    card="Ficha do modelo",
)

WORDS: Mapping[str, Words] = {"en": ENGLISH, "pt": PORTUGUESE}
DEFAULT = "en"


def language(asked: str | None, accept_language: str) -> str:
    """The language ``asked`` for, else the one with the highest weight in the header, else English."""
    if asked is not None and asked in WORDS:
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
