"""The words of the toolkit as frozen data: stdlib only, and nothing above is imported.

`plan` what will be done · `reading` what was seen · `event` what happened, one journal line each ·
`series` one resource over rounds · `finding` what was concluded · `audit` all of it, self-contained ·
`wire` to and from JSON.
"""
