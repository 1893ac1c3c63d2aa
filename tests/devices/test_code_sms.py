import importlib.resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avisiod.devices import code_sms, gsm_text
from avisiod.devices.code_sms import HOST_LIMIT, CodeTexts, wordings_from
from avisiod.devices.gsm_text import Coding

TEXTS = code_sms.load()


def render(language="fr", **changes):
    values = {"code": "123456", "portal_url": "https://visio.example", "name": "Avisio", "valid_s": 300.0} | changes
    return TEXTS.render(language, **values)


def test_french_and_english_are_shipped():
    assert {"fr", "en"} <= set(TEXTS.languages)


@given(
    language=st.sampled_from(TEXTS.languages),
    host=st.integers(4, HOST_LIMIT),
    name=st.sampled_from(["Avisio", "Avisio.io", "Visio Fleury-Mérogis", "é" * 40]),
)
def test_every_language_is_one_part_in_gsm_for_every_host(language, host, name):
    text = render(language, portal_url=f"https://{'a' * (host - 3)}.fr", name=name)
    fit = gsm_text.fit(text)
    assert fit.coding is Coding.GSM7
    assert fit.one_part


@pytest.mark.parametrize("language", TEXTS.languages)
def test_the_longest_host_still_leaves_room_for_the_address(language):
    url = f"https://{'a' * (HOST_LIMIT - 3)}.fr"
    assert url in render(language, portal_url=url)


@pytest.mark.parametrize("language", TEXTS.languages)
def test_the_fullest_text_goes_out_for_an_ordinary_host(language):
    text = render(language)
    assert text.startswith("Avisio")
    assert "5 min" in text
    assert text.count("123456") == 2


def test_the_last_line_lets_telephones_fill_the_code_in():
    assert render(portal_url="https://Visio.Example:8443/").splitlines()[-1] == "@visio.example #123456"


def test_the_french_text_reads_as_written():
    assert render() == (
        "Avisio : appel vidéo. Votre code 123456 est valable 5 min. Saisissez-le sur https://visio.example et ne le "
        "donnez à personne.\n@visio.example #123456"
    )


@pytest.mark.parametrize(
    ("language", "start"), [("fr-CA", "Avisio : appel"), ("xx", "Avisio : appel"), ("en-GB", "Avisio: v")]
)
def test_an_unknown_language_gets_its_root_or_french(language, start):
    assert render(language).startswith(start)


def test_a_name_outside_of_the_alphabet_is_written_without_its_accents():
    text = render(name="Maison d'arrêt")
    assert "arret" in text
    assert gsm_text.is_gsm(text)


def test_a_language_that_cannot_fit_gives_way_to_french_rather_than_split():
    texts = CodeTexts({"ar": ("رمز المكالمة {code} " * 4,), "fr": ("Code {code}",)})
    text = texts.render("ar", code="123456", portal_url="https://visio.example", name="A", valid_s=300)
    assert text.startswith("Code 123456")


@pytest.mark.parametrize("url", ["visio.example", "ftp://x", "https://", "https://é.fr", f"https://{'a' * 160}.fr"])
def test_an_address_that_cannot_go_is_refused_without_the_code(url):
    with pytest.raises(ValueError, match="public URL") as caught:
        render(portal_url=url)
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("texts: [", "not YAML"),
        ("texts: Code {code}", "must be a list"),
        ("texts: []", "must be a list"),
        ("- x", "must be a list"),
        ("texts: ['Code']", "must hold {code}"),
        ("texts: ['{code} {secret}']", "no other braces"),
        ("texts: ['{code} {']", "no other braces"),
        ("texts: ['{code} {0}']", "no other braces"),
        ("texts: ['{code} {name.x}']", "no other braces"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content, complaint):
    with pytest.raises(ValueError, match=r"it\.yaml") as caught:
        wordings_from(content, "it.yaml")
    assert complaint in str(caught.value)


def test_a_site_adds_a_language_and_replaces_one(tmp_path):
    (tmp_path / "ro.yaml").write_text("texts: ['Cod {code}']", "utf-8")
    (tmp_path / "fr.yaml").write_text("texts: ['Le code {code}']", "utf-8")
    texts = code_sms.load(tmp_path)
    assert {"ro", "fr", "en"} <= set(texts.languages)
    assert texts.render("fr", code="1", portal_url="https://x.fr", name="", valid_s=300).startswith("Le code 1")


def test_a_file_with_a_wrong_name_is_refused(tmp_path):
    (tmp_path / "Français.yaml").write_text("texts: ['{code}']", "utf-8")
    with pytest.raises(ValueError, match="named for its language"):
        code_sms.load(tmp_path)


def test_the_texts_are_part_of_the_package():
    assert importlib.resources.files("avisiod.devices").joinpath("sms_texts", "fr.yaml").is_file()
