# ruff: noqa: RUF001, RUF003 - Russian and Chinese
"""`python -m lab.prompt_sounds`: makes the spoken prompts of asterisk/sounds/ anew from the texts below.

Needs Debian's espeak-ng and sox on this machine; the files are kept in the repository, so that nobody else does.
Chinese is written in pinyin, which espeak-ng reads without a dictionary of characters; the characters stand beside it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

SOUNDS: Final = Path(__file__).resolve().parent.parent / "asterisk" / "sounds"
VOICES: Final = {"en": "en-us", "ru": "ru", "zh": "cmn-latn-pinyin"}
WORDS_PER_MINUTE: Final = "145"

TEXTS: Final[dict[str, dict[str, str]]] = {
    "unknown-number": {
        "en": "There is no such apartment. Please check the number.",
        "ru": "Такой квартиры нет. Проверьте номер.",
        "zh": "mei2you3 zhe4ge4 fang2jian1. qing3 jian3cha2 hao4ma3.",  # 没有这个房间。请检查号码。
    },
    "blocked": {
        "en": "Calls to this apartment are switched off.",
        "ru": "Звонки в эту квартиру отключены.",
        "zh": "gai1 fang2jian1 de5 hu1jiao4 yi3 ting2yong4.",  # 该房间的呼叫已停用。
    },
    "forbidden": {
        "en": "This call is not allowed.",
        "ru": "Этот вызов не разрешён.",
        "zh": "bu4 yun3xu3 ci3 hu1jiao4.",  # 不允许此呼叫。
    },
    "nobody-home": {
        "en": "Nobody answers.",
        "ru": "Никто не отвечает.",
        "zh": "wu2ren2 ying4da2.",  # 无人应答。
    },
    "busy": {
        "en": "The line is busy. Please try again later.",
        "ru": "Линия занята. Попробуйте позже.",
        "zh": "dui4fang1 zheng4 mang2. qing3 shao1hou4 zai4 shi4.",  # 对方正忙，请稍后再试。
    },
    "unavailable": {
        "en": "The service is not available now. Please try again later.",
        "ru": "Сейчас связь недоступна. Попробуйте позже.",
        "zh": "fu2wu4 zan4shi2 bu4 ke3yong4. qing3 shao1hou4 zai4 shi4.",  # 服务暂时不可用，请稍后再试。
    },
    "code-wrong": {
        "en": "The code is wrong.",
        "ru": "Неверный код.",
        "zh": "mi4ma3 cuo4wu4.",  # 密码错误。
    },
    "code-locked": {
        "en": "Too many wrong codes. Please try again later.",
        "ru": "Слишком много неверных кодов. Попробуйте позже.",
        "zh": "mi4ma3 cuo4wu4 ci4shu4 guo4duo1. qing3 shao1hou4 zai4 shi4.",  # 密码错误次数过多，请稍后再试。
    },
    "door-refused": {
        "en": "You may not open this door.",
        "ru": "Вам нельзя открыть эту дверь.",
        "zh": "nin2 wu2quan2 da3kai1 ci3 men2.",  # 您无权打开此门。
    },
    "door-failed": {
        "en": "The door could not be opened.",
        "ru": "Дверь не открылась.",
        "zh": "men2 wei4neng2 da3kai1.",  # 门未能打开。
    },
    "not-passed-on": {
        "en": "The visitor cannot be passed on to this number.",
        "ru": "На этот номер перевести нельзя.",
        "zh": "wu2fa3 zhuan3jie1 dao4 gai1 hao4ma3.",  # 无法转接到该号码。
    },
    "confirm-call": {
        "en": "Somebody is at your door. To talk, press any key.",
        "ru": "Вам звонят в дверь. Чтобы ответить, нажмите любую кнопку.",
        "zh": "you3 ren2 zai4 men2kou3. qing3 an4 ren4yi4 jian4 tong1hua4.",  # 有人在门口。请按任意键通话。
    },
    "press-again": {
        "en": "To open the door, press again.",
        "ru": "Чтобы открыть дверь, нажмите ещё раз.",
        "zh": "yao4 kai1men2, qing3 zai4 an4 yi2ci4.",  # 要开门，请再按一次。
    },
    "message-invited": {
        "en": "Nobody answers. Leave a message after the tone. Press hash when you have finished.",
        "ru": "Никто не отвечает. Оставьте сообщение после сигнала. Закончив, нажмите решётку.",
        # 无人应答。请在提示音后留言。结束请按井号键。
        "zh": "wu2ren2 ying4da2. qing3 zai4 ti2shi4yin1 hou4 liu2yan2. jie2shu4 qing3 an4 jing3hao4jian4.",
    },
    "message-kept": {
        "en": "Your message has been kept.",
        "ru": "Сообщение сохранено.",
        "zh": "liu2yan2 yi3 bao3cun2.",  # 留言已保存。
    },
    "call-recorded": {
        "en": "This call is recorded.",
        "ru": "Разговор записывается.",
        "zh": "ben3ci4 tong1hua4 jiang1 bei4 lu4yin1.",  # 本次通话将被录音。
    },
    "probe-grade": {
        "en": "We are checking your door phone. How do you hear this voice? Press one for well, two for noise, "
        "three for too quiet, four for badly.",
        "ru": "Проверяем вашу трубку домофона. Как вы слышите этот голос? Хорошо - нажмите один, с шумом - два, "
        "тихо - три, плохо - четыре.",
        # 我们正在检测您的门铃话机。您听得清吗？清楚请按一，有杂音请按二，声音太小请按三，听不清请按四。
        "zh": "wo3men5 zheng4zai4 jian3ce4 nin2de5 men2ling2 hua4ji1. nin2 ting1de5 qing1 ma5? qing1chu3 qing3 an4 "
        "yi1, you3 za2yin1 qing3 an4 er4, sheng1yin1 tai4 xiao3 qing3 an4 san1, ting1bu4qing1 qing3 an4 si4.",
    },
    "probe-sentence": {
        "en": "After the tone please count aloud from one to ten.",
        "ru": "После сигнала посчитайте вслух от одного до десяти.",
        "zh": "ti2shi4yin1 hou4, qing3 da4sheng1 cong2 yi1 shu3 dao4 shi2.",  # 提示音后，请大声从一数到十。
    },
    "probe-thanks": {
        "en": "Thank you. Goodbye.",
        "ru": "Спасибо. До свидания.",
        "zh": "xie4xie5. zai4jian4.",  # 谢谢。再见。
    },
    # A visitor waits for the panel: one word, as long as the half second that is left for it.
    "probe-sorry": {
        "en": "Sorry.",
        "ru": "Извините.",
        "zh": "bao4qian4.",  # 抱歉。
    },
}
TONES: Final = {
    "door-on-its-way": ("synth", "0.1", "sine", "660", "gain", "-9"),
    "beep": ("synth", "0.25", "sine", "1000", "gain", "-9"),
}


HURRIED: Final = {"probe-sorry": "230"}
"""Prompts that are spoken faster, in words a minute, and without silence around them."""


def speak(name: str, language: str, target: Path) -> None:
    """Write one text as GSM 06.10, 8 kHz, as Asterisk plays it."""
    words_per_minute = HURRIED.get(name, WORDS_PER_MINUTE)
    voice, text = VOICES[language], TEXTS[name][language]
    spoken = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", words_per_minute, "--stdout", text], capture_output=True, check=True
    )
    trimmed = ["silence", "1", "0.01", "2%", "reverse"]
    ends = [*trimmed, *trimmed] if name in HURRIED else ["pad", "0", "0.2"]
    target_format = ("-r", "8000", "-c", "1", "-t", "gsm")
    subprocess.run(
        ["sox", "-t", "wav", "-", *target_format, str(target), "norm", "-3", *ends], input=spoken.stdout, check=True
    )


def main() -> int:
    """Make every file."""
    for name, texts in TEXTS.items():
        for language in texts:
            directory = SOUNDS / language
            directory.mkdir(exist_ok=True)
            speak(name, language, directory / f"{name}.gsm")
    for name, effects in TONES.items():
        tone = ["sox", "-n", "-r", "8000", "-c", "1", "-t", "gsm", str(SOUNDS / f"{name}.gsm"), *effects]
        subprocess.run(tone, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
